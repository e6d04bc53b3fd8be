// Texts whose contrast with their ground is below WCAG's AA: 4.5:1, or 3:1 for large ones.
async () => {
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

  // The pixels of each picture in a drawing, since a text may lie on it.
  const pictures = new Map();
  for (const image of document.querySelectorAll("svg foreignObject")) {
    const source = Object.assign(new Image(), { src: image.querySelector("img").src });
    await source.decode();
    const size = { width: source.naturalWidth, height: source.naturalHeight };
    const pixels = Object.assign(document.createElement("canvas"), size).getContext("2d", { willReadFrequently: true });
    pixels.drawImage(source, 0, 0);
    pictures.set(image, pixels);
  }

  // The colour of a picture in a drawing at a place in the drawing's coordinates.
  function pixel(image, place) {
    const pixels = pictures.get(image);
    const box = image.getBBox();
    const [right, down] = [(place.x - box.x) / box.width, (place.y - box.y) / box.height];
    if (right < 0 || right >= 1 || down < 0 || down >= 1) return [0, 0, 0, 0];
    const [r, g, b, a] = pixels.getImageData(right * pixels.canvas.width, down * pixels.canvas.height, 1, 1).data;
    return [r, g, b, a / 255];
  }

  // Colours of a drawing's shapes and pictures that lie below the middle of a text of it.
  function shapes(text) {
    const box = text.getBoundingClientRect();
    const middle = new DOMPoint(box.x + box.width / 2, box.y + box.height / 2);
    const colours = [];
    for (const shape of text.ownerSVGElement.querySelectorAll("rect, circle, path, polygon, foreignObject")) {
      const below = shape.compareDocumentPosition(text) & Node.DOCUMENT_POSITION_FOLLOWING;
      if (!below || !shape.getScreenCTM()) continue;
      const place = middle.matrixTransform(shape.getScreenCTM().inverse());
      if (pictures.has(shape)) colours.push(pixel(shape, place));
      else if (shape.isPointInFill(place)) colours.push(rgba(getComputedStyle(shape).fill));
    }
    return colours;
  }

  function ground(element) {
    const layers = [];
    for (let each = element; each; each = each.parentElement) {
      layers.unshift(rgba(getComputedStyle(each).backgroundColor));
    }
    if (element.ownerSVGElement) {
      layers.push(...shapes(element));
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
    if (!words.join("").trim() || element.matches("script, style, title, desc, math *")) continue;
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
