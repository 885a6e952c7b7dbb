/** Tells of clusters that become ready, fail, or will be stopped. */

import { type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ISettingRegistry } from '@jupyterlab/settingregistry';

import { notices } from '../notices';
import { IDodas } from '../tokens';

export const notifications: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-dodas:notifications',
  description: 'Tells of clusters that become ready, fail, or will be stopped.',
  autoStart: true,
  requires: [IDodas],
  optional: [ISettingRegistry],
  activate: (_app: JupyterFrontEnd, dodas: IDodas, registry: ISettingRegistry | null) => {
    let wanted = true;
    notices(dodas.clusters, dodas.trans, () => wanted);
    void registry?.load(notifications.id).then(settings => {
      const read = (): void => {
        wanted = settings.get('notify').composite !== false;
      };
      settings.changed.connect(read);
      read();
    });
  }
};
