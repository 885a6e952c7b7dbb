/** A cluster as it was: in a notebook that is opened again, where nobody knows how it is now. */

import * as React from 'react';

import type { Picture } from '../model/picture';
import type { Cluster, Kind } from '../model/records';
import type { Translator } from '../model/words';
import { ClusterCard } from './ClusterCard';

export function ClusterPicture({ picture, trans }: { picture: Picture | null; trans: Translator }): JSX.Element {
  if (!picture?.cluster) {
    return (
      <p className="dodas-Empty" role="note">
        {picture
          ? trans.__('The form for a new cluster needs a kernel: run this cell again.')
          : trans.__('This was written by another version. Run the cell again.')}
      </p>
    );
  }
  const kind: Kind = { kind: picture.cluster.spec.kind, title: picture.title, summary: '', worker: '', snippet: '', example: '', options: {} };
  return <ClusterCard cluster={still(picture.cluster)} kind={kind} actions={null} trans={trans} asOf={picture.at} />;
}

/** Without what was still to come. */
function still({ spec, status, ...rest }: Cluster): Cluster {
  return { ...rest, spec: { ...spec, keep_until: null }, status: { ...status, stops_at: null } };
}
