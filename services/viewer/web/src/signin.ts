import { button, el, field } from "./dom";

/** Milliseconds in which the viewer has to answer. */
const ANSWER = 10_000;

/** Resolves when the viewer accepts us: at once, or when the right token has been given. */
export async function signedIn(dialog: HTMLDialogElement): Promise<void> {
  const answer = await fetch("api/session", { signal: AbortSignal.timeout(ANSWER) }).then((response) => response.json()).catch(() => null);
  if (answer?.signed_in !== false) return; // whom a viewer that does not answer lets in is seen when it does
  await new Promise<void>((resolve) => {
    const token = el("input", { type: "password", autocomplete: "current-password", required: true });
    const problem = el("p", { className: "problem", role: "alert" });
    const form = el(
      "form",
      {},
      el("h2", { id: "signin-title" }, "Sign in"),
      el("p", {}, "These services ask for a token: the line in the file that PANOLINK_TOKEN_FILE names."),
      field("Token", token),
      problem,
      button("Continue", () => form.requestSubmit(), { className: "primary" }),
    );
    form.onsubmit = async (event) => {
      event.preventDefault();
      try {
        const response = await fetch("api/session", { method: "POST", body: JSON.stringify({ token: token.value }), signal: AbortSignal.timeout(ANSWER) });
        if (response.ok) {
          dialog.close();
          resolve();
        } else problem.textContent = ((await response.json()) as { error: string }).error;
      } catch {
        problem.textContent = "The viewer does not answer.";
      }
    };
    dialog.oncancel = (event) => event.preventDefault();
    dialog.replaceChildren(form);
    dialog.showModal();
  });
}
