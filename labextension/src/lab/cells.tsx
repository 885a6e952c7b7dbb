/** A cluster below a cell of a notebook: live, from the list or through its kernel, and otherwise as it was. */

import type { ISessionContext } from '@jupyterlab/apputils';
import type { IRenderMime, IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ReactWidget } from '@jupyterlab/ui-components';
import { Panel, type Widget } from '@lumino/widgets';
import * as React from 'react';

import { type ClusterActions, ClusterCard } from '../components/ClusterCard';
import { ClusterPicture } from '../components/ClusterPicture';
import { MIME, type Picture, pictureOf } from '../model/picture';
import type { Cluster } from '../model/records';
import { actions } from './sidebar';
import type { IDodas } from './tokens';

/** What ipywidgets draws. */
const WIDGET = 'application/vnd.jupyter.widget-view+json';

type Source = 'list' | 'kernel' | 'notebook';

export class CellOutput extends Panel implements IRenderMime.IRenderer {
  private source: Source | null = null;
  private kept: IRenderMime.IMimeModel | null = null;
  private picture: Picture | null = null;
  /** Whether this kernel was asked for its widgets, and what it has of ours. */
  private asked: string | null = null;
  private readonly known = new Set<string>();
  private readonly actions: ClusterActions;
  private readonly stop: () => void;

  constructor(
    private readonly dodas: IDodas,
    private readonly session: ISessionContext,
    private readonly rendermime: IRenderMimeRegistry
  ) {
    super();
    this.actions = actions(dodas);
    this.stop = dodas.clusters.subscribe(() => this.choose());
    session.kernelChanged.connect(this.forget, this);
    session.statusChanged.connect(this.look, this);
  }

  override dispose(): void {
    this.stop();
    this.session.kernelChanged.disconnect(this.forget, this);
    this.session.statusChanged.disconnect(this.look, this);
    super.dispose();
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const other = widgetOf(model) !== widgetOf(this.kept);
    this.kept = model;
    this.picture = pictureOf(model.data[MIME]);
    if (other || this.source === 'notebook') {
      this.source = null;
    }
    this.choose();
  }

  private forget(): void {
    this.asked = null;
    this.known.clear();
    this.choose();
  }

  private look(_: ISessionContext, status: string): void {
    if (['restarting', 'autorestarting', 'dead', 'terminating'].includes(status)) {
      this.forget();
    } else if (status === 'idle') {
      this.choose();
    }
  }

  private choose(): void {
    if (this.kept === null || this.isDisposed) {
      return;
    }
    const source: Source = this.found() ? 'list' : this.isAlive() ? 'kernel' : 'notebook';
    if (source === this.source) {
      return;
    }
    this.source = source;
    this.widgets.slice().forEach(widget => widget.dispose());
    this.addWidget(this.drawn(source, this.kept));
  }

  private drawn(source: Source, model: IRenderMime.IMimeModel): Widget {
    const { trans } = this.dodas;
    if (source === 'kernel') {
      const renderer = this.rendermime.createRenderer(WIDGET);
      void renderer.renderModel(model);
      return renderer;
    }
    const still = <ClusterPicture picture={this.picture} trans={trans} />;
    const uid = this.picture?.cluster?.spec.uid;
    const widget = ReactWidget.create(
      source === 'list' ? <Live dodas={this.dodas} uid={uid} actions={this.actions} still={still} /> : still
    );
    widget.addClass('dodas-Cell');
    widget.addClass('dodas-List');
    return widget;
  }

  private found(): Cluster | undefined {
    return find(this.dodas, this.picture?.cluster?.spec.uid);
  }

  /** Whether the kernel of this notebook has the widget. What it has after a reload of the page, it has to be asked. */
  private isAlive(): boolean {
    const id = widgetOf(this.kept);
    const kernel = this.session.session?.kernel;
    if (id === null || !kernel) {
      return false;
    }
    if (kernel.hasComm(id) || this.known.has(id)) {
      return true;
    }
    if (this.asked !== kernel.id) {
      this.asked = kernel.id;
      kernel
        .requestCommInfo({ target_name: 'jupyter.widget' })
        .then(({ content }) => {
          if (content.status === 'ok') {
            Object.keys(content.comms).forEach(one => this.known.add(one));
            this.choose();
          }
        })
        .catch(() => undefined); // it has ended meanwhile
    }
    return false;
  }
}

function Live(props: { dodas: IDodas; uid: string | undefined; actions: ClusterActions; still: JSX.Element }): JSX.Element {
  const { dodas, uid, actions, still } = props;
  React.useSyncExternalStore(dodas.clusters.subscribe, dodas.clusters.snapshot);
  const cluster = find(dodas, uid);
  return cluster ? <ClusterCard cluster={cluster} kind={dodas.clusters.kind(cluster.spec.kind)} actions={actions} trans={dodas.trans} /> : still;
}

function find({ clusters }: IDodas, uid: string | undefined): Cluster | undefined {
  return clusters.snapshot().clusters.find(({ spec }) => spec.uid === uid);
}

/** Which widget the kernel would draw. */
function widgetOf(model: IRenderMime.IMimeModel | null): string | null {
  const view = model?.data[WIDGET];
  const id = typeof view === 'object' && view !== null && 'model_id' in view ? view.model_id : null;
  return typeof id === 'string' ? id : null;
}
