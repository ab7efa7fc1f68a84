// A classic script, run before the first paint: without it a page in another theme than the
// system's would flash in the wrong colours.
{
  /** @type {Record<string, string>} */
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem("marketflow.settings") ?? "{}") ?? {};
  } catch {
    // Kept nowhere (private window) or by something else: the defaults are right.
  }
  const root = document.documentElement;
  root.dataset.theme = ["dark", "light"].includes(kept.theme) ? kept.theme : "system";
  root.dataset.palette = ["red-blue", "blue-orange"].includes(kept.palette) ? kept.palette : "green-red";
  root.dataset.zone = kept.zone === "UTC" ? "UTC" : "local";
  const language = ["en", "ko"].includes(kept.language) ? kept.language : navigator.language;
  root.lang = /^ko\b/.test(language) ? "ko" : "en";
}
