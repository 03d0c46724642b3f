"use strict";

// An animation as the bytes of a GIF: pure functions on pixels.

const MOST_COLOURS = 256;

/** The commonest colours of some pictures, each a number 0xRRGGBB. */
function paletteOf(pictures) {
  const seen = new Map();
  for (const pixels of pictures) {
    for (const colour of pixels) seen.set(colour, (seen.get(colour) ?? 0) + 1);
  }
  const common = [...seen].sort(([, m], [, n]) => n - m).slice(0, MOST_COLOURS);
  return common.map(([colour]) => colour);
}

function channels(colour) {
  return [colour >> 16, (colour >> 8) & 255, colour & 255];
}

/** For every pixel the index of its colour, or of the nearest there is. */
function indexed(pixels, palette, known = new Map()) {
  const nearest = (colour) => {
    const wanted = channels(colour);
    const far = palette.map((other) =>
      sum(channels(other).map((part, n) => (part - wanted[n]) ** 2)),
    );
    return far.indexOf(Math.min(...far));
  };
  return Uint8Array.from(pixels, (colour) => {
    if (!known.has(colour)) known.set(colour, nearest(colour));
    return known.get(colour);
  });
}

/** Codes of 9 to 12 bits, the lowest bit first. */
function bitWriter() {
  const bytes = [];
  let [held, bits] = [0, 0];
  return {
    bytes,
    write(code, width) {
      held |= code << bits;
      for (bits += width; bits >= 8; bits -= 8, held >>>= 8) bytes.push(held & 255);
    },
    flush() {
      if (bits) bytes.push(held & 255);
    },
  };
}

/** Lempel, Ziv and Welch's compression, with the widths of GIF for 256 colours. */
function compressed(indices) {
  const [clear, end] = [MOST_COLOURS, MOST_COLOURS + 1];
  const out = bitWriter();
  let [table, width, next] = [new Map(), 9, end + 1];
  out.write(clear, width);
  let prefix = indices[0];
  for (const index of indices.subarray(1)) {
    const longer = (prefix << 8) | index;
    if (table.has(longer)) {
      prefix = table.get(longer);
      continue;
    }
    out.write(prefix, width);
    table.set(longer, next);
    if (next === 1 << width) width += 1;
    next += 1;
    if (next > 4095) {
      out.write(clear, width);
      [table, width, next] = [new Map(), 9, end + 1];
    }
    prefix = index;
  }
  out.write(prefix, width);
  out.write(end, width);
  out.flush();
  return out.bytes;
}

function blocks(bytes) {
  const found = [];
  for (let start = 0; start < bytes.length; start += 255) {
    const part = bytes.slice(start, start + 255);
    found.push(part.length, ...part);
  }
  return [...found, 0];
}

function twoBytes(number) {
  return [number & 255, number >> 8];
}

function asBytes(text) {
  return [...text].map((letter) => letter.charCodeAt(0));
}

/** Frames of pixels 0xRRGGBB, shown for as many milliseconds each, over and over. */
function gifOf(frames, width, height, milliseconds) {
  const every = Math.max(1, Math.floor(frames.length / 8));
  const palette = paletteOf(frames.filter((_, n) => n % every === 0));
  const table = count(MOST_COLOURS).flatMap((n) => channels(palette[n] ?? 0));
  const size = [...twoBytes(width), ...twoBytes(height)];
  const known = new Map(palette.map((colour, n) => [colour, n]));
  const parts = [
    [...asBytes("GIF89a"), ...size, 0xf7, 0, 0, ...table],
    [0x21, 0xff, 11, ...asBytes("NETSCAPE2.0"), 3, 1, 0, 0, 0],
  ];
  for (const pixels of frames) {
    const wait = twoBytes(Math.round(milliseconds / 10));
    parts.push([0x21, 0xf9, 4, 0, ...wait, 0, 0]);
    parts.push([0x2c, 0, 0, 0, 0, ...size, 0, 8]);
    parts.push(blocks(compressed(indexed(pixels, palette, known))));
  }
  return Uint8Array.from([...parts.flat(), 0x3b]);
}
