// Texts whose contrast with their ground is below WCAG's AA: 4.5:1, or 3:1 for large ones.
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

  function rgba(colour) {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  }

  const over = (top, ground, alpha = top[3]) => top.slice(0, 3).map((c, i) => alpha * c + (1 - alpha) * ground[i]);

  function luminance(colour) {
    const [r, g, b] = colour.map((c) => (c / 255 <= 0.04045 ? c / 3294.6 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }

  function ratio(a, b) {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  }

  // Shapes of a drawing that lie below the middle of a text of it.
  function shapes(text) {
    const box = text.getBoundingClientRect();
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    return [...text.ownerSVGElement.querySelectorAll("rect, circle")].filter((shape) => {
      const around = shape.getBoundingClientRect();
      const below = shape.compareDocumentPosition(text) & Node.DOCUMENT_POSITION_FOLLOWING;
      return below && around.x <= x && x <= around.right && around.y <= y && y <= around.bottom;
    });
  }

  function ground(element) {
    const layers = [];
    for (let each = element; each; each = each.parentElement) {
      layers.unshift(rgba(getComputedStyle(each).backgroundColor));
    }
    if (element.ownerSVGElement) {
      layers.push(...shapes(element).map((shape) => rgba(getComputedStyle(shape).fill)));
    }
    return layers.reduce((below, layer) => over(layer, below), [255, 255, 255]);
  }

  function opacity(element) {
    let product = 1;
    for (let each = element; each; each = each.parentElement) product *= Number(getComputedStyle(each).opacity);
    return product;
  }

  const faults = [];
  for (const element of document.querySelectorAll("body *")) {
    const words = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data);
    if (!words.join("").trim() || element.matches("script, style, title, desc, math *, .md-search *")) continue;
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const style = getComputedStyle(element);
    const below = ground(element);
    const ink = rgba(element.ownerSVGElement ? style.fill : style.color);
    const found = ratio(over(ink, below, ink[3] * opacity(element)), below);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (found < (large ? 3 : 4.5)) {
      faults.push(`${found.toFixed(2)}:1 for ${JSON.stringify(words.join("").trim().slice(0, 40))} in ${element.tagName}`);
    }
  }
  return faults;
}
