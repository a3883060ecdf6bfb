/** Dark and light: what the system says, until the button says otherwise. */
export function theme(button: HTMLElement): void {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: light)");
  const shown = (): string => root.dataset.theme ?? (system.matches ? "light" : "dark");
  const stored = localStorage.getItem("theme");
  if (stored === "light" || stored === "dark") root.dataset.theme = stored;
  const say = (): void => {
    button.textContent = shown() === "dark" ? "Light" : "Dark";
    dispatchEvent(new Event("theme"));
  };
  button.onclick = () => {
    root.dataset.theme = shown() === "dark" ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.theme);
    say();
  };
  system.addEventListener("change", say);
  say();
}
