/** The card of a cluster, as anywidget takes it. */

import * as React from 'react';

import { english } from '../model/words';
import { LiveCard } from './live';
import { widget } from './mount';

export default widget((model, kernel) => <LiveCard model={model} kernel={kernel} trans={english} />);
