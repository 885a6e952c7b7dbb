/** Drawing where anywidget wants it. */

import * as React from 'react';
import { createRoot } from 'react-dom/client';

import { Kernel, type Model } from './host';

/** What anywidget takes. */
export interface Widget {
  render(given: { model: Model; el: HTMLElement }): () => void;
}

export function widget(draw: (model: Model, kernel: Kernel) => JSX.Element): Widget {
  return {
    render: ({ model, el }) => {
      const kernel = new Kernel(model);
      el.classList.add('dodas-Cell', 'dodas-List');
      const root = createRoot(el);
      root.render(<React.StrictMode>{draw(model, kernel)}</React.StrictMode>);
      return () => {
        root.unmount();
        kernel.dispose();
      };
    }
  };
}
