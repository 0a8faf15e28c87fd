// Which links of a model may be followed.

/** The address as it is shown and followed; null for anything but http, https and mailto. */
export function safeUrl(href: string): URL | null {
  let url: URL;
  try {
    url = new URL(href);
  } catch {
    return null;
  }
  return ['http:', 'https:', 'mailto:'].includes(url.protocol) ? url : null;
}

/** A text cut at the bare addresses in it. */
export function cutAtUrls(text: string): string[] {
  if (!text.includes('://')) return [text];
  return text.split(/(\bhttps?:\/\/[^\s<>"'`，。；：！？、（）「」]+[^\s<>"'`，。；：！？、（）「」.,;:!?)\]}*_])/);
}
