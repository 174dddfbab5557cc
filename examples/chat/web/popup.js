// The small windows that open beside a button.

/** Shows a popover beside a button. When Escape closes it, the button has the focus again. */
export function openBeside(box, button) {
  box.hidePopover();
  button.focus(); // some browsers do not focus what is clicked, and would return elsewhere
  box.showPopover();
  const at = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = box;
  const below = at.bottom + 8;
  box.style.left = `${Math.max(8, Math.min(at.right - width, innerWidth - width - 8))}px`;
  box.style.top = `${below + height < innerHeight - 8 ? below : Math.max(8, at.top - height - 8)}px`;
}
