/** Hints over the event bus of Jupyter Server: which cluster to read again. Nothing is repeated, so every connection begins with all. */

const SCHEMA = 'https://events.jupyter-dodas.org/cluster/v1';

/** What hears of changes. */
export interface Listener {
  /** A connection is there, perhaps anew: read everything. */
  connected(): void;
  /** Nobody tells of changes for now. */
  lost(): void;
  /** A cluster may have changed. */
  hint(name: string): void;
}

/** Tells a listener of changes until it is disposed of. */
export type Hints = (listener: Listener) => { dispose(): void };

/** The part of a WebSocket that is needed. */
export interface Socket {
  onopen: ((event: Event) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  close(): void;
}

const FIRST = 500;
const LAST = 30_000;

/** Hints from sockets that `open` opens, one after another, later and later while they do not last. Times are milliseconds. */
export function socketHints(open: () => Socket): Hints {
  return listener => {
    let socket: Socket | null = null;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let pause = FIRST;
    let ended = false;

    const connect = (): void => {
      clearTimeout(timer);
      timer = undefined;
      socket = open();
      socket.onopen = () => {
        pause = FIRST;
        listener.connected();
      };
      socket.onmessage = ({ data }) => {
        const name = hinted(data);
        if (name !== null) {
          listener.hint(name);
        }
      };
      socket.onclose = () => {
        if (ended) {
          return;
        }
        listener.lost();
        timer = setTimeout(connect, pause * (0.75 + Math.random() / 2));
        pause = Math.min(2 * pause, LAST);
      };
    };

    // Whoever comes back to a network does not wait out the pause; and a socket that seems open may have missed something.
    const hurry = (): void => {
      if (timer === undefined) {
        listener.connected();
      } else {
        pause = FIRST;
        connect();
      }
    };

    globalThis.addEventListener?.('online', hurry);
    connect();
    return {
      dispose: () => {
        ended = true;
        clearTimeout(timer);
        globalThis.removeEventListener?.('online', hurry);
        socket?.close();
      }
    };
  };
}

/** The name in a message that is a hint of ours. Anybody may speak on the bus, so nothing else is taken from it. */
function hinted(data: unknown): string | null {
  try {
    const event: unknown = JSON.parse(String(data));
    if (typeof event === 'object' && event !== null && 'schema_id' in event && 'id' in event) {
      return event.schema_id === SCHEMA && typeof event.id === 'string' ? event.id : null;
    }
  } catch {
    // What is no JSON is not for us.
  }
  return null;
}
