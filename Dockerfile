# The images of the three services and of the viewer. Layers are shared: Python, then what all need, then the networks, then the code.
#
#     docker build --target channel -t panolink-channel .
#     docker build --target receiver -t panolink-receiver .
#     docker build --target receiver --build-arg TORCH=cuda -t panolink-receiver:gpu .
#
# Build arguments: PYTHON (3.11), TORCH (cpu or cuda), TORCH_INDEX (where builds of that kind are; see
# deploy/docker/install_torch.py). docs/deploy.md has the rest.
ARG PYTHON=3.11

# ── what every image begins with ──────────────────────────────────────────────────────────────────────────────────────
FROM python:${PYTHON}-slim AS base
ENV PATH=/opt/panolink/bin:$PATH \
    PYTHONUNBUFFERED=1
# pip is for builders. A number for the user, so that orchestrators can see that it is not root.
RUN python -m pip uninstall --yes --quiet --root-user-action=ignore setuptools wheel pip \
    && groupadd --gid 10001 panolink \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin panolink \
    && install --directory --owner=panolink --group=panolink /var/lib/panolink

# ── builders ──────────────────────────────────────────────────────────────────────────────────────────────────────────
# What to install is written down, with hashes, by scripts/lock_images.py. torch is installed by itself.
FROM python:${PYTHON}-slim AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN python -m venv --without-pip /opt/panolink
COPY constraints.txt deploy/docker/locks/channel.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/panolink/bin/python install --require-hashes --no-deps -r channel.txt \
    && find /opt/panolink -type d -name tests -prune -exec rm -r {} +

FROM packages AS network-packages
ARG TORCH=cpu
ARG TORCH_INDEX=
COPY deploy/docker/install_torch.py deploy/docker/locks/${TORCH}.txt ./
# Without the headers, test programs and test suites that packages bring along: a quarter of the whole.
RUN --mount=type=cache,target=/root/.cache/pip \
    python install_torch.py "$TORCH" --index "$TORCH_INDEX" --constraints constraints.txt \
        --python /opt/panolink/bin/python \
    && pip --python /opt/panolink/bin/python install --require-hashes --no-deps -r "${TORCH}.txt" \
    && find /opt/panolink -type d -name tests -prune -exec rm -r {} + \
    && rm -rf /opt/panolink/lib/python3*/site-packages/torch/include /opt/panolink/lib/python3*/site-packages/torch/test \
    && find /opt/panolink/lib/python3*/site-packages/torch/bin -type f ! -name torch_shm_manager -delete

FROM packages AS code
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install -c constraints.txt hatchling
COPY LICENSE README.md pyproject.toml ./
COPY scripts/build_hook.py ./scripts/
COPY proto ./proto
COPY services ./services
COPY shared ./shared
# The weights have a layer of their own, which stays when the code changes.
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && python -m venv --without-pip --clear /opt/panolink \
    && pip --python /opt/panolink/bin/python install --no-deps --no-cache-dir /wheels/*.whl \
    && mkdir /weights \
    && mv /opt/panolink/lib/python3*/site-packages/panolink/weights/*.safetensors /weights/

# ── the channel: no networks, no compiler ─────────────────────────────────────────────────────────────────────────────
FROM base AS channel
COPY --from=packages /opt/panolink /opt/panolink
COPY --from=code /opt/panolink /opt/panolink
# Fails here, not in production, should the channel need a package that it does without.
RUN python -c "import panolink.services.channel.servicer, panolink.services.channel.settings, panolink.cli.app"
ENV PANOLINK_CHANNEL_LISTEN=0.0.0.0:50052 \
    PANOLINK_CHANNEL_METRICS_LISTEN=0.0.0.0:9102
USER 10001:10001
WORKDIR /tmp
EXPOSE 50052 9102
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --start-interval=2s CMD ["panolink", "health"]
CMD ["python", "-m", "panolink.services.channel"]

# ── transmitter and receiver ──────────────────────────────────────────────────────────────────────────────────────────
# Kernels are compiled for a kind of processor, not for the one that happens to build: x86-64-v3 is any with AVX2.
FROM base AS networks-amd64
ENV NUMBA_CPU_NAME=x86-64-v3 \
    NUMBA_CPU_FEATURES=""

FROM base AS networks-arm64
ENV NUMBA_CPU_NAME=generic

# hadolint ignore=DL3006
FROM networks-${TARGETARCH} AS networks
COPY --from=packages /opt/panolink /opt/panolink
# Only what the packages above lack.
RUN --mount=type=bind,from=network-packages,source=/opt/panolink,target=/from \
    cp --archive --update --no-target-directory /from /opt/panolink
ARG PYTHON
COPY --from=code /weights/ /opt/panolink/lib/python${PYTHON}/site-packages/panolink/weights/
COPY --from=code /opt/panolink /opt/panolink
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NUMBA_CACHE_DIR=/tmp/numba \
    PANOLINK_KERNEL_CACHE=/opt/panolink/kernels
RUN export NUMBA_CACHE_DIR=$PANOLINK_KERNEL_CACHE && python -m panolink.phy && python -m panolink.codec
USER 10001:10001
WORKDIR /tmp
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --start-interval=2s CMD ["panolink", "health"]

FROM networks AS transmitter
ENV PANOLINK_TRANSMITTER_LISTEN=0.0.0.0:50051 \
    PANOLINK_TRANSMITTER_METRICS_LISTEN=0.0.0.0:9101
EXPOSE 50051 9101
CMD ["python", "-m", "panolink.services.transmitter"]

FROM networks AS receiver
ENV PANOLINK_RECEIVER_LISTEN=0.0.0.0:50053 \
    PANOLINK_RECEIVER_METRICS_LISTEN=0.0.0.0:9103
EXPOSE 50053 9103
CMD ["python", "-m", "panolink.services.receiver"]

# It measures the quality of what arrives, with the networks' packages, and runs none.
FROM networks AS viewer
ENV PANOLINK_VIEWER_LISTEN=0.0.0.0:8360 \
    PANOLINK_VIEWER_METRICS_LISTEN=0.0.0.0:9104
EXPOSE 8360 9104
# Metrics rather than the page: they are in the clear where the page is not.
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --start-interval=2s \
    CMD ["python", "-c", "from urllib import request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:9104/metrics', timeout=5)"]
CMD ["python", "-m", "panolink.services.viewer"]
