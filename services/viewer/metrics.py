"""Metrics of the viewer, besides those of every service."""

from panolink.rpc.observability.metrics import ServiceMetrics


class ViewerMetrics(ServiceMetrics):
    """Metrics of the viewer."""

    def __init__(self) -> None:
        super().__init__()
        self.browsers = self.gauge("viewer_browsers", "Browsers that are connected.")
        self.pictures = self.counter("viewer_pictures", "Received panoramas shown to browsers.")
        self.skipped = self.counter(
            "viewer_pictures_skipped", "Received panoramas replaced by newer ones, by place.", "at"
        )
        self.refused = self.counter("viewer_refused", "Requests of browsers that were refused, by reason.", "reason")
        self.uploads = self.counter("viewer_uploads", "Files sent by browsers.", "outcome")
        self.gazes = self.counter("viewer_gazes", "Gaze directions received.")
        self.gaze_age = self.gauge("viewer_gaze_age_seconds", "Age of the newest gaze direction.")
        # Labels start at 0, so that the first of each is an increase too.
        for place in ("link", "browser"):
            self.skipped.labels(place)
        for reason in ("host", "origin", "token", "browsers", "slow", "rate", "message"):
            self.refused.labels(reason)
        for outcome in ("accepted", "refused"):
            self.uploads.labels(outcome)
