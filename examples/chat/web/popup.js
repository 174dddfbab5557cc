// The small windows that open beside a button.

let last = {}; // {box, button}: what was opened last
let again; // the button of the open window, if it is what was pressed last: the browser closes the window

const growth = new ResizeObserver(place);
addEventListener('resize', () => requestAnimationFrame(place));
addEventListener('pointerdown', ({ target }) => {
  again = last.box?.matches(':popover-open') && last.button.contains(target) ? last.button : undefined;
}, { capture: true });

/** Shows a popover beside a button once it is ready. When Escape closes it, the button has the focus again. */
export async function openBeside(box, button, ready = () => true) {
  const closed = button === again;
  again = undefined;
  if (closed || !(await ready())) return;
  box.hidePopover();
  button.focus(); // some browsers do not focus what is clicked, and would return elsewhere
  box.showPopover();
  last = { box, button };
  place();
  growth.observe(box);
}

function place() {
  if (!last.box?.matches(':popover-open')) return;
  const { box, button } = last;
  const at = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = box;
  const below = at.bottom + 8;
  box.style.left = `${Math.max(8, Math.min(at.right - width, innerWidth - width - 8))}px`;
  box.style.top = `${below + height < innerHeight - 8 ? below : Math.max(8, at.top - height - 8)}px`;
}
