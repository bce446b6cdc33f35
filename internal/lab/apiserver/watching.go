package apiserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

const (
	watchBatch     = 256              // events written before a flush
	watchPatience  = 30 * time.Second // how long a client may take to read a batch before it is cut off
	defaultTimeout = 30 * time.Minute // life of a watch that names no timeoutSeconds
)

// A stream is one watch being served.
type stream struct {
	*call
	want      filter
	table     *table
	position  uint64
	bookmarks bool
	headed    bool // the table's columns have been sent
	out       bytes.Buffer
}

// watch streams the changes after the given version. Without a version, or with "0", or with sendInitialEvents (KEP-3157), it begins
// with the present objects as additions.
func (c *call) watch() error {
	want, err := newFilter(c.stored(), c.key.Namespace, c.key.Name, c.query)
	if err != nil {
		return err
	}
	rv, err := c.version()
	if err != nil {
		return err
	}
	st := &stream{call: c, want: want, table: c.server.tableOf(c.kind)}
	st.bookmarks, _ = strconv.ParseBool(c.query.Get("allowWatchBookmarks"))
	initial, _ := strconv.ParseBool(c.query.Get("sendInitialEvents"))
	if initial && (!st.bookmarks || c.query.Get("resourceVersionMatch") != string(metav1.ResourceVersionMatchNotOlderThan)) {
		return apierrors.NewBadRequest("sendInitialEvents needs allowWatchBookmarks and resourceVersionMatch=NotOlderThan")
	}
	if err = c.versionExists(c.server.ResourceVersion()); err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(http.StatusOK)
	if initial || rv == 0 {
		err = st.begin(initial)
	} else {
		err = st.resume(rv)
	}
	if err == nil {
		err = st.follow()
	}
	if status := apierrors.APIStatus(nil); errors.As(err, &status) {
		st.fail(err)
	}
	return nil // the answer has begun: an error of writing has nobody to go to
}

// begin sends the present objects.
func (st *stream) begin(marked bool) error {
	snap := st.server.snapshot(st.table, st.want)
	st.position = snap.position
	for i, e := range snap.entries {
		if err := st.send(watch.Added, e); err != nil {
			return err
		}
		if i%watchBatch == watchBatch-1 {
			if err := st.flush(); err != nil {
				return err
			}
		}
	}
	if marked {
		return st.bookmark(snap.rv, map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	}
	return st.flush()
}

// resume goes on after a version that the client knows.
func (st *stream) resume(rv uint64) error {
	st.server.mu.RLock()
	defer st.server.mu.RUnlock()
	position, ok := st.table.history.after(rv)
	if !ok {
		return apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", rv, st.table.history.gone))
	}
	st.position = position
	return nil
}

// follow sends what happens until the time is up or the client is gone.
func (st *stream) follow() error {
	life := defaultTimeout
	if n, err := strconv.Atoi(st.query.Get("timeoutSeconds")); err == nil && n > 0 {
		life = time.Duration(n) * time.Second
	}
	ctx, cancel := context.WithTimeout(st.r.Context(), life)
	defer cancel()
	mark := time.NewTicker(st.server.opts.BookmarkEvery)
	defer mark.Stop()
	if err := st.flush(); err != nil { // so that the client sees the watch established
		return err
	}
	for {
		events, rv, wake, ok := st.next()
		if !ok {
			return apierrors.NewResourceExpired("the watch fell behind: events it has not read were forgotten")
		}
		if len(events) > 0 {
			if err := st.sendAll(events); err != nil {
				return err
			}
			continue
		}
		if !st.server.serves(st.kind) {
			return nil
		}
		select {
		case <-wake:
		case <-mark.C:
			if err := st.idle(rv); err != nil {
				return err
			}
		case <-ctx.Done():
			return st.idle(rv)
		}
	}
}

// next takes events from the history; with none there, it gives the version up to which there are none, and what to wait for.
func (st *stream) next() ([]event, uint64, <-chan struct{}, bool) {
	st.server.mu.RLock()
	defer st.server.mu.RUnlock()
	events, ok := st.table.history.from(st.position, watchBatch)
	st.position += uint64(len(events))
	return events, st.server.rv, st.table.history.wake, ok
}

func (st *stream) sendAll(events []event) error {
	for _, ev := range events {
		if err := st.sendEvent(ev); err != nil {
			return err
		}
	}
	return st.flush()
}

// sendEvent: to a watcher with a selector an object that begins to match is added and one that ceases to match is deleted.
func (st *stream) sendEvent(ev event) error {
	before, after := st.want.matches(ev.was), ev.typ != watch.Deleted && st.want.matches(ev.now)
	switch {
	case before && after:
		return st.send(watch.Modified, ev.now)
	case after:
		return st.send(watch.Added, ev.now)
	case before && ev.typ == watch.Deleted:
		return st.send(watch.Deleted, ev.now)
	case before:
		last := *ev.was
		raw, err := withVersion(last.raw, ev.rv)
		last.raw, last.rv = raw, ev.rv
		if err != nil {
			return err
		}
		return st.send(watch.Deleted, &last)
	}
	return nil
}

func (st *stream) send(typ watch.EventType, e *entry) (err error) {
	raw := e.raw
	if st.wantsTable() {
		raw, err = json.Marshal(st.call.table([]*entry{e}, strconv.FormatUint(e.rv, 10), !st.headed))
		st.headed = true
	} else {
		raw, err = st.kind.toShown(raw)
	}
	if err != nil {
		return err
	}
	st.line(typ, raw)
	return nil
}

// line adds one event to the buffer.
func (st *stream) line(typ watch.EventType, raw []byte) {
	fmt.Fprintf(&st.out, `{"type":%q,"object":`, typ)
	st.out.Write(raw)
	st.out.WriteString("}\n")
}

func (st *stream) idle(rv uint64) error {
	if !st.bookmarks {
		return nil
	}
	return st.bookmark(rv, nil)
}

// bookmark tells the client that it has seen everything up to that version.
func (st *stream) bookmark(rv uint64, annotations map[string]string) error {
	obj := metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: st.kind.apiVersion(), Kind: st.kind.kind},
		ObjectMeta: metav1.ObjectMeta{ResourceVersion: strconv.FormatUint(rv, 10), Annotations: annotations},
	}
	var shown any = obj
	if st.wantsTable() {
		t := st.call.table(nil, obj.ResourceVersion, !st.headed)
		raw, err := json.Marshal(obj)
		if err != nil {
			return err
		}
		t.Rows = []metav1.TableRow{{Cells: make([]any, len(st.stored().columns))}}
		t.Rows[0].Object.Raw = raw
		shown = t
	}
	raw, err := json.Marshal(shown)
	if err != nil {
		return err
	}
	st.line(watch.Bookmark, raw)
	return st.flush()
}

// fail ends the stream with an error event.
func (st *stream) fail(why error) {
	raw, err := json.Marshal(statusOf(why))
	if err != nil {
		return
	}
	st.line(watch.Error, raw)
	_ = st.flush() // the stream is over either way
}

// flush writes the buffer. A client that does not read is cut off in the end; it can come back with its last version.
func (st *stream) flush() error {
	rc := http.NewResponseController(st.w)
	if err := rc.SetWriteDeadline(time.Now().Add(watchPatience)); err != nil {
		return fmt.Errorf("writing to a watcher: %w", err)
	}
	if _, err := st.w.Write(st.out.Bytes()); err != nil {
		return fmt.Errorf("writing to a watcher: %w", err)
	}
	st.out.Reset()
	if err := rc.Flush(); err != nil {
		return fmt.Errorf("writing to a watcher: %w", err)
	}
	return rc.SetWriteDeadline(time.Time{})
}
