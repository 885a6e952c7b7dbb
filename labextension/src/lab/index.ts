/** The plugins that JupyterLab loads. */

import { cells } from './plugins/cells';
import { commands } from './plugins/commands';
import { core } from './plugins/core';
import { infrastructures } from './plugins/infrastructures';
import { launcher } from './plugins/launcher';
import { notifications } from './plugins/notifications';
import { progress } from './plugins/progress';
import { sidebar } from './plugins/sidebar';
import { tabs } from './plugins/tabs';

export { IDodas } from './tokens';

export default [core, sidebar, tabs, launcher, notifications, commands, cells, progress, infrastructures];
