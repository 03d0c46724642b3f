"""Scenes for notebooks and pages: frames that play, pause and step, self-contained."""

from __future__ import annotations

from html import escape

from jaxconv.viz._marks import Mark
from jaxconv.viz._scene import CAPTION_HEIGHT, Scene, Theme, caption, head, head_height
from jaxconv.viz._svg import drawn, number, wrapped


def player(scene: Scene, theme: Theme) -> str:
    """One SVG with a group for each frame, and buttons that show one of them."""
    top = head_height(scene)
    lines = [*drawn(head(scene)), f'<g transform="translate(0 {number(top)})">']
    lines += drawn(scene.base)
    for index, frame in enumerate(scene.frames):
        hidden = ' style="display:none"' if index else ""
        lines.append(f'<g data-frame="{index}"{hidden}>')
        lines += [*drawn(frame.marks), *drawn([caption(scene, frame)]), "</g>"]
    marks: list[Mark] = [*head(scene), *scene.base]
    marks += [mark for frame in scene.frames for mark in frame.marks]
    height = top + scene.height + CAPTION_HEIGHT
    lines.append("</g>")
    own = f".jaxconv-{theme} "
    svg = wrapped(scene, theme, height, marks, lines, inside=own)
    name = escape(f"{scene.title}; {scene.subtitle}", quote=True)
    buttons = _BUTTONS.format(last=len(scene.frames) - 1) if scene.frames[1:] else ""
    kind = f"jaxconv-player jaxconv-{theme}"
    opening = f'<div class="{kind}" role="group" aria-label="{name}">'
    return f"{opening}\n{svg}{buttons}</div>\n<script>\n{_SCRIPT}</script>\n"


_BUTTONS = """\
<div style="font:14px sans-serif;max-width:400px;display:flex;gap:6px">
<button type="button" data-do="back" aria-label="one step back">&#9664;</button>
<button type="button" data-do="play">play</button>
<button type="button" data-do="on" aria-label="one step on">&#9654;</button>
<input type="range" min="0" max="{last}" value="0" style="flex:1" aria-label="frame">
</div>
"""

# It sets up every player of the page that has not been, so it needs no names for them.
_SCRIPT = """\
document.querySelectorAll(".jaxconv-player:not([data-ready])").forEach((player) => {
  player.dataset.ready = "yes";
  const frames = player.querySelectorAll("[data-frame]");
  const slider = player.querySelector("input");
  if (!slider) return;
  const play = player.querySelector("[data-do=play]");
  let timer = 0;
  const show = (index) => {
    slider.value = (index + frames.length) % frames.length;
    frames.forEach((frame, i) => {
      frame.style.display = i === Number(slider.value) ? "" : "none";
    });
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
  slider.oninput = () => (pause(), show(Number(slider.value)));
});
"""
