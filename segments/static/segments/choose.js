// A long list to choose from can be searched: what does not match steps aside, what is chosen stays.
for (const list of document.querySelectorAll("select[data-search]")) {
  const options = [...list.options];
  if (options.length <= list.size) continue;
  const field = document.createElement("input");
  field.type = "search";
  field.placeholder = list.dataset.search;
  field.setAttribute("aria-label", list.dataset.search);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/);
    const fits = (option) => words.every((word) => option.text.toLowerCase().includes(word));
    list.replaceChildren(...options.filter((option) => option.selected || fits(option)));
  });
  // Enter would send the whole form.
  field.addEventListener("keydown", (event) => { if (event.key === "Enter") event.preventDefault(); });
  const both = document.createElement("div");
  both.className = "searched-list";
  list.replaceWith(both);
  both.append(field, list);
}
