// What the user has chosen: whether others see what the user has read.

import { openBeside } from './popup.js';

export class Settings {
  constructor(api, hides) {
    const box = document.getElementById('settings');
    const input = box.querySelector('input');
    const problem = box.querySelector('.problem');
    const button = document.querySelector('.me .settings');
    button.onclick = () => openBeside(box, button);
    input.checked = hides;
    let last = Promise.resolve(); // the server takes one change after the other
    input.onchange = () => {
      const { checked } = input;
      last = last.then(async () => {
        try {
          await api.hideReads(checked);
          hides = checked;
        } catch {
          input.checked = hides; // which is what the server has
        }
        problem.hidden = checked === hides;
      });
    };
  }
}
