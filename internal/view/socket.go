package view

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"kube-router/internal/intent"
	"kube-router/internal/plan/socket"
	"kube-router/internal/show"
)

const protocolTCP = 6

// connect tells what connect() to a frontend becomes.
func (d *Daemon) connect(s *intent.Service) string {
	why, at := d.AtSocket(s)
	if !at {
		return "connect() stays as it is, packets are translated: " + why
	}
	return "connect() becomes one to " + show.List(s.Backends)
}

// addSockets adds a column that tells which frontends are served at the socket, and why others aren't.
func (d *Daemon) addSockets(p *show.Page, list []*intent.Service) {
	if d.AtSocket == nil {
		return
	}
	p.Columns = append(p.Columns, "socket")
	for i, s := range list {
		why, _ := d.AtSocket(s)
		p.Rows[i] = append(p.Rows[i], served(why))
	}
}

// socketsView tells whose sockets are served at connect() and whose aren't, why, and how often each frontend was connected to.
func (d *Daemon) socketsView(ctx context.Context, _ []string) (show.Page, error) {
	p := show.Page{Columns: []string{"who", "socket", "connects", "left to packets"}}
	var pods [][]string
	var unable string
	err := d.Think(ctx, func(w World) {
		unable = w.Model.Settings.Socket.Unable
		for _, a := range w.Model.Attached {
			pods = append(pods, []string{"pod " + a.Pod.String(), served(socket.Why(w.Model, a)), "", ""})
		}
	})
	switch {
	case err != nil:
		return p, err
	case unable != "":
		return p, fmt.Errorf("this node can't: %s", unable)
	case d.AtSocket == nil:
		return p, errors.New("no socket is served: --socket-lb is off")
	}
	counts, err := d.Connects()
	if err != nil {
		return p, err
	}
	slices.SortFunc(pods, slices.Compare)
	p.Rows = append(append(p.Rows, []string{"node " + d.Options.Settings.Node, served(""), "", ""}), slices.CompactFunc(pods, slices.Equal)...)
	for _, f := range slices.SortedFunc(maps.Keys(counts), intent.Front.Compare) {
		n := counts[f]
		p.Rows = append(p.Rows, []string{f.String(), served(""), strconv.FormatUint(n.Served, 10), strconv.FormatUint(n.Fell, 10)})
	}
	p.Data = p.Rows
	return p, nil
}

// served says "yes", or why not.
func served(why string) string {
	if why == "" {
		return "yes"
	}
	return "no: " + why
}
