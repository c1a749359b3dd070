// What pages need and Streamlit does not do. Allowed by its sum in the content security policy (see guard.py), so it must
// stand in the page to the letter.
(() => {
  if (window.retentionScript) return; // every page brings the script again
  window.retentionScript = true;

  // Plotly answers a touch itself, before it knows what lies under the finger, so the first tap on a chart does nothing and the
  // second takes what the first was on; and it keeps the finger from scrolling. Kept from the touch, it gets the mouse events
  // that browsers make of a tap, and of nothing but a tap.
  const onChart = (touch) => touch.target instanceof Element && touch.target.closest(".js-plotly-plot");
  document.addEventListener("touchstart", (touch) => onChart(touch) && touch.stopPropagation(), { capture: true, passive: true });

  // Streamlit closes its own menu once somebody has chosen, where it lies over the page; ours is made of page links.
  document.addEventListener("click", (click) => {
    const link = click.target instanceof Element && click.target.closest('[data-testid="stSidebar"] [data-testid="stPageLink"] a');
    const plain = !(click.ctrlKey || click.metaKey || click.shiftKey || click.altKey);
    if (link && plain && matchMedia("(max-width: 767.98px)").matches)
      document.querySelector('[data-testid="stSidebarCollapseButton"] button')?.click();
  });

  // Somebody chose a kind of picture: the chart comes back with Plotly's own button for it, the only one that knows the chart.
  // It is pressed once; if none comes, nothing was chosen.
  document.addEventListener("click", (click) => {
    if (!(click.target instanceof Element && click.target.closest('[class*="st-key-_picture"] button'))) return;
    const there = () => [...document.querySelectorAll('.modebar-btn[data-title^="Download"]')];
    const before = new Set(there());
    const coming = new MutationObserver(() => {
      const camera = there().find((button) => !before.has(button));
      if (!camera) return;
      coming.disconnect();
      setTimeout(() => camera.click(), 300); // once the chart itself is drawn
    });
    coming.observe(document.body, { childList: true, subtree: true });
    setTimeout(() => coming.disconnect(), 15000);
  }, { capture: true });
})();
