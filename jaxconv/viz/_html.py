"""Scenes for notebooks and pages: frames that play, pause and step, self-contained."""

from __future__ import annotations

from html import escape

from jaxconv.viz._frames import (
    Frames,
    Theme,
    caption_height,
    captions,
    head,
    head_height,
    over,
    under,
)  # fmt: skip
from jaxconv.viz._marks import WIDTH, Mark
from jaxconv.viz._svg import View, drawn, number, wrapped


def page(scene: Frames, theme: Theme) -> str:
    """The player as a document of its own, whose page is as dark as the picture."""
    schemes = "light dark" if theme == "auto" else theme
    heads = f'<meta charset="utf-8"><meta name="color-scheme" content="{schemes}">'
    title = f"<title>{escape(scene.title)}</title>"
    return f"<!doctype html>\n{heads}\n{title}\n{player(scene, theme)}"


def player(scene: Frames, theme: Theme) -> str:
    """One SVG with a group for each frame, and buttons that show one of them."""
    top = head_height(scene)
    lines = [*drawn(head(scene)), f'<g transform="translate(0 {number(top)})">']
    for index, frame in enumerate(scene.frames):
        lines += [_group("under", index), *drawn(under(frame)), "</g>"]
    lines += drawn(scene.base)
    for index, frame in enumerate(scene.frames):
        lines.append(_group("frame", index))
        lines += [*drawn(over(frame)), *drawn(captions(scene, frame)), "</g>"]
    marks: list[Mark] = [*head(scene), *scene.base]
    marks += [mark for frame in scene.frames for mark in frame.marks]
    view = View(0, 0, WIDTH, top + scene.height + caption_height(scene))
    lines.append("</g>")
    own = f".jaxconv-{theme} "
    svg = wrapped(scene, theme, view, marks, lines, inside=own)
    name = escape(f"{scene.title}; {scene.subtitle}", quote=True)
    buttons = _BUTTONS.format(last=len(scene.frames) - 1) if scene.frames[1:] else ""
    kind = f"jaxconv-player jaxconv-{theme}"
    opening = f'<div class="{kind}" role="group" aria-label="{name}"{_PLACE}>'
    style = f"<style>\n{_STYLE}</style>\n"
    return f"{opening}\n{style}{svg}{buttons}</div>\n<script>\n{_SCRIPT}</script>\n"


def _group(kind: str, index: int) -> str:
    hidden = ' style="display:none"' if index else ""
    return f'<g data-{kind}="{index}"{hidden}>'


_PLACE = ' style="max-width:560px;margin:0 auto"'
_STYLE = """\
.jaxconv-player svg{display:block;width:100%;height:auto}
.jaxconv-bar{display:flex;gap:8px;align-items:center;padding:4px 8px}
.jaxconv-bar{font:14px sans-serif}
.jaxconv-bar button{min-width:36px;padding:4px 10px;border:1px solid #8885}
.jaxconv-bar button{border-radius:6px;background:#8882;color:inherit;font:inherit}
.jaxconv-bar input{flex:1;min-width:80px;accent-color:#0072b2}
.jaxconv-bar small{opacity:0.7}
"""

_BUTTONS = """\
<div class="jaxconv-bar">
<button type="button" data-do="back" aria-label="one step back">&#9664;</button>
<button type="button" data-do="play">play</button>
<button type="button" data-do="on" aria-label="one step on">&#9654;</button>
<input type="range" min="0" max="{last}" value="0" aria-label="frame">
<small>keys: space, &#8592;, &#8594;</small>
</div>
"""

# It sets up every player of the page that has not been, so it needs no names for them.
_SCRIPT = """\
document.querySelectorAll(".jaxconv-player:not([data-ready])").forEach((player) => {
  player.dataset.ready = "yes";
  const frames = player.querySelectorAll("[data-frame]");
  const lines = player.querySelectorAll("[data-under]");
  const slider = player.querySelector("input");
  if (!slider) return;
  const play = player.querySelector("[data-do=play]");
  let timer = 0;
  const show = (index) => {
    slider.value = (index + frames.length) % frames.length;
    for (const layer of [frames, lines]) {
      layer.forEach((part, i) => {
        part.style.display = i === Number(slider.value) ? "" : "none";
      });
    }
  };
  const pause = () => {
    clearInterval(timer);
    timer = 0;
    play.textContent = "play";
  };
  const step = (by) => show(Number(slider.value) + by);
  play.onclick = () => {
    if (timer) return pause();
    timer = setInterval(() => (player.isConnected ? step(1) : pause()), 800);
    play.textContent = "pause";
  };
  player.querySelector("[data-do=back]").onclick = () => (pause(), step(-1));
  player.querySelector("[data-do=on]").onclick = () => (pause(), step(1));
  player.tabIndex = 0;
  player.onkeydown = (event) => {
    if (event.target !== player) return;
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (move) (pause(), step(move));
    else if (event.key === " ") play.click();
    else return;
    event.preventDefault();
  };
  slider.oninput = () => (pause(), show(Number(slider.value)));
});
"""
