// Finds out what the user has seen.

const SIGNS = ['pointermove', 'pointerdown', 'keydown', 'wheel', 'touchmove', 'focus'];
const INPUT = 1000; // ms after a sign of the user's for which a scrolling is the user's

/**
 * Watches elements until the user has seen them. An element counts as seen when
 *
 * - all of it was on the screen for the dwell, without a pause, in a page that is visible and has the focus,
 * - the page did not scroll by itself meanwhile, and
 * - the user gave a sign of being there (pointer, key, wheel, touch, or coming to the page) less than the idle time ago.
 *   If not, the element is seen as soon as the user gives one. So nothing is seen in front of an empty chair.
 */
export class Screen {
  #options;
  #seen = new WeakMap(); // element → what to call
  #since = new Map(); // element on the screen → since when, in ms
  #sign = performance.now(); // when the user was last noticed
  #timer = 0;
  #watch = new IntersectionObserver((entries) => this.#moved(entries), { threshold: [0.9] });
  #abort = new AbortController();

  /** Takes {dwell, idle, covered}. Both times are in milliseconds. Nothing is seen while covered() is true. */
  constructor(options) {
    this.#options = options;
    const on = (target, name, handler) => target.addEventListener(name, handler, { capture: true, passive: true, signal: this.#abort.signal });
    for (const name of ['blur', 'focus']) on(window, name, ({ target }) => target === window && this.restart());
    for (const name of SIGNS) on(window, name, () => this.#noticed());
    on(document, 'scroll', () => performance.now() - this.#sign > INPUT && this.restart());
    on(document, 'visibilitychange', () => {
      this.restart();
      if (document.visibilityState === 'visible') this.#noticed();
    });
    if (window.visualViewport) on(visualViewport, 'resize', () => this.#look());
  }

  watch(element, seen) {
    if (!this.#seen.has(element)) this.#watch.observe(element);
    this.#seen.set(element, seen);
  }

  stop() {
    this.#abort.abort();
    this.#watch.disconnect();
    clearTimeout(this.#timer);
  }

  #moved(entries) {
    for (const { target, isIntersecting, intersectionRatio } of entries) {
      if (!isIntersecting || intersectionRatio < 0.9) this.#since.delete(target);
      else if (!this.#since.has(target)) this.#since.set(target, performance.now());
    }
    this.#look();
  }

  #noticed() {
    const away = performance.now() - this.#sign > this.#options.idle;
    this.#sign = performance.now();
    if (away || !this.#timer) this.#look();
  }

  /** Starts every dwell again at the next frame, because a page that has just become visible is not drawn before that. */
  restart() {
    const begin = () => this.#since.forEach((_, element) => this.#since.set(element, performance.now()));
    begin();
    requestAnimationFrame(begin);
    this.#look();
  }

  // Reports what was seen by now, and comes back when the next element may be.
  #look() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (this.#options.covered() || document.visibilityState !== 'visible' || !document.hasFocus() || performance.now() - this.#sign > this.#options.idle) return;
    let next = Infinity;
    for (const [element, since] of this.#since) {
      const left = since + this.#options.dwell - performance.now();
      if (left > 0) {
        next = Math.min(next, left);
      } else if (aboveKeyboard(element)) {
        this.#since.delete(element);
        this.#watch.unobserve(element);
        const seen = this.#seen.get(element);
        this.#seen.delete(element);
        seen();
      }
    }
    if (next < Infinity) this.#timer = setTimeout(() => this.#look(), next + 1);
  }
}

// The keyboard of a phone covers a part of the page of which the observer does not know.
function aboveKeyboard(element) {
  const view = window.visualViewport;
  return !view || element.getBoundingClientRect().bottom <= view.offsetTop + view.height + 1;
}
