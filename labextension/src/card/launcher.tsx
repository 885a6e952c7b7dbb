/** The form for a new cluster, as anywidget takes it. */

import * as React from 'react';

import { Launcher } from './form';
import { widget } from './mount';

export default widget((model, kernel) => <Launcher model={model} kernel={kernel} />);
