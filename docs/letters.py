"""Draw the letters A to J as each font below some folders has them: OUT/A/0001.png, OUT/B/...

python3 docs/letters.py OUT /usr/share/fonts
"""

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

out, *folders = map(Path, sys.argv[1:])
files = sorted(file for folder in folders for file in folder.rglob("*.[to]tf"))
seen = set()
for number, file in enumerate(files):
    font = ImageFont.truetype(file, 96)
    for letter in "ABCDEFGHIJ":
        left, top, right, bottom = font.getbbox(letter)
        width, height = right - left, bottom - top
        side = max(width, height, 1) * 28 // 24  # a margin of 2 pixels, once it is small
        image = Image.new("L", (side, side))
        place = (side - width) / 2 - left, (side - height) / 2 - top
        ImageDraw.Draw(image).text(place, letter, 255, font)
        image = image.resize((28, 28))
        if image.getextrema()[1] > 128 and image.tobytes() not in seen:
            seen.add(image.tobytes())
            (out / letter).mkdir(parents=True, exist_ok=True)
            image.save(out / letter / f"{number:04}.png")
