/** The server extension, over the connection that Lab has to its server. */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import { Api } from '../model/api';
import { Clusters } from '../model/clusters';
import { InfrastructureApi, InfrastructureList } from '../model/infrastructures';
import { type Socket, socketHints } from '../model/hints';

const API = 'dodas/api/v1';
const EVENTS = 'api/events/subscribe';

/** Begins to read and to listen. */
export function connect(settings: ServerConnection.ISettings): Clusters {
  const api = new Api((path, init) => ServerConnection.makeRequest(URLExt.join(settings.baseUrl, API, path), { ...init }, settings));
  // A socket of our own: the event manager of Lab does not tell when it was away, and hints of that time are lost.
  return new Clusters(
    api,
    socketHints(() => open(settings))
  );
}

/** What the hub makes, through the same server; it is read once somebody looks. */
export function infrastructures(settings: ServerConnection.ISettings): InfrastructureList {
  const send = (path: string, init?: RequestInit): Promise<Response> =>
    ServerConnection.makeRequest(URLExt.join(settings.baseUrl, API, path), { ...init }, settings);
  return new InfrastructureList(new InfrastructureApi(send));
}

/** Where a browser finds a path below the API. */
export function address(settings: ServerConnection.ISettings, path: string): string {
  return URLExt.join(settings.baseUrl, API, path);
}

function open(settings: ServerConnection.ISettings): Socket {
  const url = URLExt.join(settings.wsUrl, EVENTS);
  const token = settings.appendToken && settings.token ? `?token=${encodeURIComponent(settings.token)}` : '';
  return new settings.WebSocket(url + token);
}
