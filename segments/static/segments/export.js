// Fetches a long CSV part by part and shows how far it is. Without this the link does it at once.
for (const link of document.querySelectorAll("[data-export]")) {
  link.addEventListener("click", async (event) => {
    event.preventDefault();
    const [bar, said] = [link.parentElement.querySelector("progress"), link.parentElement.querySelector("output")];
    const parts = [];
    let after = "";
    bar.hidden = false;
    while (after !== null) {
      const address = new URL(link.href);
      address.searchParams.set("after", after);
      const answer = await fetch(address);
      // After the session's end the answer is a page to sign in.
      if (!answer.ok || !answer.headers.get("Content-Type").startsWith("text/csv")) {
        said.textContent = said.dataset.failed;
        return;
      }
      parts.push(await answer.blob());
      after = answer.headers.get("X-Next");
      bar.value = after === null ? bar.max : bar.value + 5000;
    }
    const file = document.createElement("a");
    file.href = URL.createObjectURL(new Blob(parts, { type: "text/csv" }));
    file.download = link.dataset.name || "list.csv";
    file.click();
    said.textContent = "✓";
  });
}
