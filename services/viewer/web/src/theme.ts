/** Dark and light: what the system says, until the button says otherwise. */
export function theme(button: HTMLElement): void {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: light)");
  const shown = (): string => root.dataset.theme ?? (system.matches ? "light" : "dark");
  const stored = remembered();
  if (stored === "light" || stored === "dark") root.dataset.theme = stored;
  const say = (): void => {
    button.textContent = shown() === "dark" ? "Light" : "Dark";
    dispatchEvent(new Event("theme"));
  };
  button.onclick = () => {
    root.dataset.theme = shown() === "dark" ? "light" : "dark";
    try {
      localStorage.setItem("theme", root.dataset.theme);
    } catch {
      // until the page is left, then
    }
    say();
  };
  system.addEventListener("change", say);
  say();
}

/** The choice of an earlier visit; null where there is none, or the browser keeps nothing for this page. */
function remembered(): string | null {
  try {
    return localStorage.getItem("theme");
  } catch {
    return null;
  }
}
