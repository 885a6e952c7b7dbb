/** Writing Python into the notebook in view. */

import { type INotebookTracker, NotebookActions } from '@jupyterlab/notebook';

/** Inserts a cell with this below the active one, and goes there; into the active one if that is empty. */
export function insertInto(tracker: INotebookTracker, code: string): boolean {
  const panel = tracker.currentWidget;
  if (panel === null) {
    return false;
  }
  const { content } = panel;
  const active = content.activeCell;
  if (active === null || active.model.type !== 'code' || active.model.sharedModel.getSource().trim() !== '') {
    NotebookActions.insertBelow(content);
  }
  content.activeCell?.model.sharedModel.setSource(code.trimEnd());
  panel.activate();
  return true;
}
