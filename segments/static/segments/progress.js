// A change of thousands of things takes a while: say so, and do not let it be sent twice.
for (const form of document.querySelectorAll("[data-progress]")) {
  form.addEventListener("submit", () => {
    form.querySelector("[data-working]").hidden = false;
    // After the form has been read: a disabled button is not sent.
    setTimeout(() => form.querySelectorAll("button").forEach((button) => { button.disabled = true; }));
  });
}
// Back from the page after it, the form can be sent again.
window.addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  for (const form of document.querySelectorAll("[data-progress]")) {
    form.querySelector("[data-working]").hidden = true;
    form.querySelectorAll("button").forEach((button) => { button.disabled = false; });
  }
});
