// Where the user writes. A half-written text is kept for each user and conversation, also over a reload.

export class Composer {
  #form = document.getElementById('composer');
  #text = this.#form.elements.body;
  #key = '';
  #user;

  constructor(user, send) {
    this.#user = user;
    this.#form.onsubmit = (event) => {
      event.preventDefault();
      const body = this.#text.value.trim().toWellFormed();
      if (!body) return;
      this.#set('');
      send(body);
    };
    this.#text.oninput = () => this.#changed();
    this.#text.onkeydown = (event) => {
      if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.#form.requestSubmit();
      }
    };
  }

  /** Continues with what was written in a conversation before. */
  open(conversation) {
    this.#key = `chat/draft/${encodeURIComponent(this.#user)}/${conversation}`;
    this.#set(localStorage.getItem(this.#key) ?? sessionStorage.getItem(this.#key) ?? '');
    if (matchMedia('(hover: hover)').matches) this.#text.focus(); // touch would bring up a keyboard
  }

  /** Has the user write a text anew, after what is already there. */
  edit(body) {
    this.#set(this.#text.value ? `${this.#text.value}\n${body}` : body);
    this.#text.focus();
  }

  #set(text) {
    this.#text.value = text;
    this.#changed();
  }

  #changed() {
    const { value } = this.#text;
    const kept = this.#keep(value);
    document.getElementById('full').hidden = kept;
    if (!CSS.supports('field-sizing', 'content')) {
      this.#text.style.height = 'auto';
      this.#text.style.height = `${this.#text.scrollHeight + 2}px`;
    }
  }

  // Keeps the text in localStorage or, if that is full, in sessionStorage.
  #keep(text) {
    localStorage.removeItem(this.#key);
    sessionStorage.removeItem(this.#key);
    if (!text) return true;
    for (const store of [localStorage, sessionStorage]) {
      try {
        store.setItem(this.#key, text);
        return true;
      } catch {
        // full
      }
    }
    return false;
  }
}
