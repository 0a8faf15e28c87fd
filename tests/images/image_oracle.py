#!/usr/bin/python3
"""Pictures of every kind that images/ reads: what it decodes and resizes must be what Pillow does, byte
for byte.

    image_oracle.py DRIVER [--files N] [--seed S] [--keep FOLDER]
"""
import argparse
import io
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import zlib

try:
    from PIL import Image, ImageChops, ImageMath, ImageOps
except ImportError:
    print("python3-pil is not installed: skipped")
    sys.exit(77)

ORIENTATION = 0x0112


def png_chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_file(width, height, depth, colour, rows, interlaced=False, chunks=b""):
    """`rows` is a function from y to the bytes of a row; interlaced rows come from `pixel`."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    data = zlib.compress(rows, 6)
    return (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + chunks + png_chunk(b"IDAT", data)
            + png_chunk(b"IEND", b""))


def packed_rows(rows, depth):
    """PNG's rows, each a list of samples, with filter 0."""
    out = bytearray()
    for row in rows:
        out.append(0)
        if depth == 16:
            out += b"".join(struct.pack(">H", v) for v in row)
            continue
        bits = 0
        count = 0
        for v in row:
            bits = bits << depth | v
            count += depth
            if count == 8:
                out.append(bits)
                bits = count = 0
        if count:
            out.append(bits << (8 - count))
    return bytes(out)


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png_of_samples(samples, depth, colour, interlaced=False, chunks=b""):
    """`samples` is a list of rows of pixels, each a tuple of channels."""
    height, width = len(samples), len(samples[0])
    if interlaced:
        data = b""
        for x0, y0, dx, dy in ADAM7:
            rows = [[v for pixel in row[x0::dx] for v in pixel] for row in samples[y0::dy]]
            data += packed_rows([row for row in rows if row], depth)
    else:
        data = packed_rows([[v for pixel in row for v in pixel] for row in samples], depth)
    return png_file(width, height, depth, colour, data, interlaced, chunks)


def bmp_file(width, height, bits, rows, palette=b"", masks=b"", top_down=False, header=40):
    stride = (width * bits + 31) // 32 * 4
    body = b"".join(row.ljust(stride, b"\0") for row in (rows if top_down else reversed(rows)))
    offset = 14 + header + len(palette) + (len(masks) if header == 40 else 0)
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", header, width, -height if top_down else height, 1, bits,
                           3 if masks else 0, len(body), 2835, 2835, len(palette) // 4, 0)
        info += masks
        info = info.ljust(header, b"\0") if header > 40 else info
    return b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset) + info + palette + body


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def size(self):
        kind = self.random.random()
        if kind < 0.03:  # long or large
            return self.random.choice([(4000, 1 + self.random.randrange(40)), (1 + self.random.randrange(40), 4000),
                                       (1600, 1200), (1073, 1431), (2321, 387)])
        if kind < 0.1:
            return self.random.choice([(1, 1), (1, 9), (13, 1), (336, 336), (336, 30), (29, 336), (672, 336)])
        most = 40 if kind < 0.6 else 300
        return 1 + self.random.randrange(most), 1 + self.random.randrange(most)

    def bands(self, size, count):
        """Smooth shades with noise and hard edges."""
        width, height = size
        bands = []
        for _ in range(count):
            small = Image.frombytes("L", (5, 4), self.random.randbytes(20)).resize(size, Image.Resampling.BICUBIC)
            noise = Image.frombytes("L", size, self.random.randbytes(width * height))
            band = Image.blend(small, noise, self.random.choice([0.05, 0.3, 1.0]))
            if self.random.random() < 0.5:
                band.paste(self.random.choice([0, 255]), (width // 3, height // 4, width // 2 + 1, height // 2 + 1))
            bands.append(band)
        return bands

    def picture(self, mode, size=None):
        size = size or self.size()
        if mode == "P":
            picture = self.picture("RGB", size).quantize(self.random.choice([2, 5, 16, 100, 256]))
            return picture
        return Image.merge(mode, self.bands(size, len(mode))) if len(mode) > 1 else self.bands(size, 1)[0]

    def saved(self, picture, kind, **options):
        file = io.BytesIO()
        picture.save(file, kind, **options)
        return file.getvalue()

    def exif(self):
        exif = Image.Exif()
        exif[ORIENTATION] = self.random.randint(1, 8)
        return exif.tobytes()

    # One function per kind of file; each gives its bytes.

    def png(self):
        return self.saved(self.picture(self.random.choice(["L", "LA", "RGB", "RGBA"])), "PNG")

    def png_palette(self):
        options = {}
        picture = self.picture("P")
        kind = self.random.randrange(3)
        if kind == 1:
            options["transparency"] = self.random.randrange(2)
        if kind == 2:
            options["transparency"] = self.random.randbytes(self.random.randint(1, 2))
        return self.saved(picture, "PNG", **options)

    def png_exif(self):
        return self.saved(self.picture("RGB"), "PNG", exif=self.exif())

    def samples(self, channels, depth, size=None):
        width, height = size or (1 + self.random.randrange(40), 1 + self.random.randrange(40))
        most = (1 << depth) - 1
        return [[tuple(self.random.randint(0, most) for _ in range(channels)) for _ in range(width)]
                for _ in range(height)]

    def png_low_depth(self):
        depth = self.random.choice([1, 2, 4])
        return png_of_samples(self.samples(1, depth), depth, 0, self.random.random() < 0.5)

    def png_16(self):
        colour, channels = self.random.choice([(0, 1), (2, 3), (4, 2), (6, 4)])
        return png_of_samples(self.samples(channels, 16), 16, colour, self.random.random() < 0.3)

    def png_interlaced(self):
        colour, channels = self.random.choice([(0, 1), (2, 3), (4, 2), (6, 4)])
        return png_of_samples(self.samples(channels, 8), 8, colour, True)

    def png_colour_key(self):
        colour, channels = self.random.choice([(0, 1), (2, 3)])
        samples = self.samples(channels, 8)
        key = self.random.choice(self.random.choice(samples))
        chunk = png_chunk(b"tRNS", b"".join(struct.pack(">H", v) for v in key))
        return png_of_samples(samples, 8, colour, self.random.random() < 0.3, chunk)

    def jpeg(self):
        return self.saved(self.picture(self.random.choice(["L", "RGB"])), "JPEG", quality=self.random.randint(20, 98),
                          subsampling=self.random.randint(0, 2), progressive=self.random.random() < 0.4,
                          optimize=self.random.random() < 0.3)

    def jpeg_cmyk(self):
        return self.saved(self.picture("CMYK"), "JPEG", quality=90, progressive=self.random.random() < 0.4)

    def jpeg_exif(self):
        return self.saved(self.picture("RGB"), "JPEG", quality=85, exif=self.exif())

    def webp(self):
        return self.saved(self.picture(self.random.choice(["RGB", "RGBA"])), "WEBP",
                          lossless=self.random.random() < 0.5, quality=self.random.randint(30, 95))

    def webp_exif(self):
        return self.saved(self.picture("RGB"), "WEBP", exif=self.exif())

    def webp_animated(self):
        size = self.size()
        mode = self.random.choice(["RGB", "RGBA"])
        frames = [self.picture(mode, size) for _ in range(3)]
        return self.saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=50)

    def gif(self):
        options = {"interlace": self.random.randrange(2)}
        picture = self.picture(self.random.choice(["L", "P"]))
        if self.random.random() < 0.4:
            options["transparency"] = self.random.randrange(4)
        return self.saved(picture, "GIF", **options)

    def gif_animated(self):
        size = self.size()
        frames = [self.picture("P", size) for _ in range(3)]
        return self.saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50, disposal=2)

    def gif_partial(self):
        """The first frame does not fill its canvas, or leaves it."""
        file = bytearray(self.saved(self.picture("P", (7, 5)), "GIF", interlace=self.random.randrange(2),
                                    **({"transparency": 1} if self.random.random() < 0.5 else {})))
        file[6:10] = struct.pack("<HH", self.random.randint(1, 30), self.random.randint(1, 30))
        at = 13 + (3 << ((file[10] & 7) + 1))
        while file[at:at + 1] == b"!":
            at += 2
            while file[at]:
                at += 1 + file[at]
            at += 1
        file[at + 1:at + 5] = struct.pack("<HH", self.random.randrange(9), self.random.randrange(9))
        return bytes(file)

    def bmp(self):
        return self.saved(self.picture(self.random.choice(["L", "RGB", "P"])), "BMP")

    def bmp_made(self):
        width, height = 1 + self.random.randrange(40), 1 + self.random.randrange(40)
        bits = self.random.choice([1, 4, 8, 16, 16, 24, 32, 32])
        rows = [self.random.randbytes((width * bits + 7) // 8) for _ in range(height)]
        palette = masks = b""
        header = self.random.choice([40, 40, 108, 124])
        if bits <= 8:
            header = self.random.choice([12, 40])
            palette = self.random.randbytes((3 if header == 12 else 4) << bits)
        elif bits == 16 and self.random.random() < 0.5:
            masks = struct.pack("<III", *self.random.choice([(0xF800, 0x7E0, 0x1F), (0x7C00, 0x3E0, 0x1F)]))
        elif bits == 32 and header > 40:
            masks = struct.pack("<IIII", *self.random.choice([
                (0xFF0000, 0xFF00, 0xFF, 0xFF000000), (0xFF, 0xFF00, 0xFF0000, 0xFF000000), (0xFF0000, 0xFF00, 0xFF, 0)]))
        top_down = header != 12 and self.random.random() < 0.3
        return bmp_file(width, height, bits, rows, palette, masks, top_down, header)


def onto_white(picture):
    """RGBA on white: (s*a + 255*(255-a) + 127) / 255."""
    *colours, alpha = picture.split()
    flat = [ImageMath.eval("convert((s * a + 255 * (255 - a) + 127) / 255, 'L')", s=band, a=alpha) for band in colours]
    return Image.merge("RGB", flat)


def decoded(file):
    picture = Image.open(io.BytesIO(file))
    picture.load()
    if picture.mode == "I":  # 16 bits of grey: the upper 8, where Pillow would clip
        exif = picture.getexif()
        picture = ImageMath.eval("convert(v >> 8, 'L')", v=picture)
        return picture.convert("RGB")
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in ("LA", "RGBA", "PA") or "transparency" in picture.info:
        return onto_white(upright.convert("RGBA"))
    return upright.convert("RGB")


def resized(picture, size):
    """Pillow's bicubic; this version always goes along rows first."""
    return picture.resize(size, Image.Resampling.BICUBIC)


def compare(name, file, answer, problems):
    pixels, canvas, thumbnail = answer
    expected = decoded(file)
    if "error" in pixels:
        return problems.append(f"{name}: {pixels['error']}")
    if (pixels["width"], pixels["height"]) != expected.size:
        return problems.append(f"{name}: {pixels['width']} x {pixels['height']}, not {expected.size}")
    if pixels["rgb"] != expected.tobytes():
        ours = Image.frombytes("RGB", expected.size, pixels["rgb"])
        most = max(high for _, high in ImageChops.difference(ours, expected).getextrema())
        return problems.append(f"{name}: pixels differ by up to {most}")
    if canvas is None:
        if min(expected.size) * 1000 > max(expected.size):
            problems.append(f"{name}: refused at {expected.size}")
        return None
    on_canvas = Image.new("RGB", (canvas["grid_width"], canvas["grid_height"]))
    on_canvas.paste(resized(expected, (canvas["width"], canvas["height"])), (canvas["x"], canvas["y"]))
    if canvas["rgb"] != on_canvas.tobytes():
        problems.append(f"{name}: the canvas differs")
    if thumbnail["rgb"] != resized(expected, (thumbnail["width"], thumbnail["height"])).tobytes():
        problems.append(f"{name}: the thumbnail differs")
    return None


def read_answer(stream):
    """A line of JSON, then the bytes of the pictures that it lists."""
    line = json.loads(stream.readline())
    if "error" in line:
        return line, None, None
    pictures = []
    for key in ("image", "canvas", "thumbnail"):
        picture = line.get(key)
        if picture is not None:
            picture["rgb"] = stream.read(picture["bytes"])
        pictures.append(picture)
    return tuple(pictures)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("driver")
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", help="folder for files that differ")
    arguments = parser.parse_args()
    kinds = [name for name, value in vars(Maker).items()
             if name.split("_")[0] in ("png", "jpeg", "webp", "gif", "bmp") and callable(value)]
    problems = []
    with tempfile.TemporaryDirectory() as folder, \
            subprocess.Popen([arguments.driver], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as driver:
        for number in range(arguments.files):
            kind = kinds[number % len(kinds)]
            file = getattr(Maker(f"{arguments.seed}/{number}"), kind)()
            path = os.path.join(folder, f"{number}-{kind}")
            with open(path, "wb") as out:
                out.write(file)
            driver.stdin.write(path.encode() + b"\n")
            driver.stdin.flush()
            before = len(problems)
            compare(f"{number} ({kind})", file, read_answer(driver.stdout), problems)
            if arguments.keep and len(problems) > before:
                with open(os.path.join(arguments.keep, f"{number}-{kind}"), "wb") as out:
                    out.write(file)
        driver.stdin.close()
    for problem in problems:
        print(problem)
    print(f"{arguments.files} files of {len(kinds)} kinds, {len(problems)} differ from Pillow")
    return 1 if problems or driver.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
