import { LabIcon } from '@jupyterlab/ui-components';

/** Three machines, joined. */
export const icon = new LabIcon({
  name: 'jupyter-dodas:clusters',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="16"><g class="jp-icon3" fill="none" stroke="#616161" ' +
    'stroke-width="2"><rect x="8.5" y="3" width="7" height="6" rx="1.5"/><rect x="2.5" y="15" width="7" height="6" rx="1.5"/>' +
    '<rect x="14.5" y="15" width="7" height="6" rx="1.5"/><path d="M12 9v3M6 15v-3h12v3"/></g></svg>'
});
