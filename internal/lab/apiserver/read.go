package apiserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func (c *call) get() error {
	e := c.server.entry(c.server.tableOf(c.kind), c.key)
	if e == nil {
		return apierrors.NewNotFound(c.kind.gr(), c.key.Name)
	}
	return c.show(http.StatusOK, e)
}

// show answers with one object, as a table if that is what the client wants.
func (c *call) show(code int, e *entry) error {
	if c.wantsTable() {
		writeJSON(c.w, code, c.table([]*entry{e}, strconv.FormatUint(e.rv, 10), true))
		return nil
	}
	raw, err := c.kind.toShown(e.raw)
	if err != nil {
		return err
	}
	writeRaw(c.w, code, raw)
	return nil
}

// list answers with the present state, which is never older than any version that was asked for. Limit is not honoured (the answer is
// always whole), which the API allows; so nobody ever holds a continue token of ours.
func (c *call) list() error {
	want, err := newFilter(c.stored(), c.key.Namespace, "", c.query)
	if err != nil {
		return err
	}
	if c.query.Get("continue") != "" {
		return apierrors.NewResourceExpired("The provided continue parameter is too old to display a consistent list result.")
	}
	snap := c.server.snapshot(c.server.tableOf(c.kind), want)
	if err := c.versionExists(snap.rv); err != nil {
		return err
	}
	if c.wantsTable() {
		writeJSON(c.w, http.StatusOK, c.table(snap.entries, strconv.FormatUint(snap.rv, 10), true))
		return nil
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, `{"kind":%q,"apiVersion":%q,"metadata":{"resourceVersion":"%d"},"items":[`, c.kind.kind+"List", c.kind.apiVersion(), snap.rv)
	for i, e := range snap.entries {
		raw, err := c.kind.toShown(e.raw)
		if err != nil {
			return err
		}
		if i > 0 {
			out.WriteByte(',')
		}
		out.Write(raw)
	}
	out.WriteString("]}\n")
	writeRaw(c.w, http.StatusOK, out.Bytes())
	return nil
}

// version is the resourceVersion parameter; 0 for none and for "0".
func (c *call) version() (uint64, error) {
	text := c.query.Get("resourceVersion")
	if text == "" {
		return 0, nil
	}
	rv, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("Invalid value: %q: resourceVersion must be a number", text))
	}
	return rv, nil
}

// versionExists refuses a version that is yet to come, and an exact one that is past: old states are not kept.
func (c *call) versionExists(newest uint64) error {
	rv, err := c.version()
	switch {
	case err != nil:
		return err
	case rv > newest:
		late := apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d, current: %d", rv, newest), 1)
		late.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge, Message: "Too large resource version"}}
		return late
	case rv != 0 && rv != newest && c.query.Get("resourceVersionMatch") == string(metav1.ResourceVersionMatchExact):
		return apierrors.NewResourceExpired(fmt.Sprintf("The provided resource version %d is no longer available", rv))
	}
	return nil
}

// wantsTable tells whether the client, kubectl get, asked for rows to print.
func (c *call) wantsTable() bool {
	for accept := range strings.SplitSeq(c.r.Header.Get("Accept"), ",") {
		if strings.Contains(accept, "as=Table") && strings.Contains(accept, "v=v1;") || strings.Contains(accept, "as=Table") && strings.HasSuffix(accept, "v=v1") {
			return true
		}
	}
	return false
}

// table is objects as rows. Each row carries the metadata of its object, or what includeObject asks for.
func (c *call) table(entries []*entry, rv string, withHead bool) *metav1.Table {
	k := c.stored()
	t := &metav1.Table{
		TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "Table"},
		ListMeta: metav1.ListMeta{ResourceVersion: rv},
		Rows:     []metav1.TableRow{},
	}
	if withHead {
		t.ColumnDefinitions = definitions(k.columns)
	}
	for _, e := range entries {
		row := metav1.TableRow{Cells: cells(k, e)}
		switch metav1.IncludeObjectPolicy(c.query.Get("includeObject")) {
		case metav1.IncludeNone:
		case metav1.IncludeObject:
			row.Object.Raw = e.raw
		default:
			row.Object.Raw = partial(e.raw)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// partial is the object's metadata alone.
func partial(raw []byte) []byte {
	var obj struct {
		Kind       string          `json:"kind"`
		APIVersion string          `json:"apiVersion"`
		Metadata   json.RawMessage `json:"metadata"`
	}
	if json.Unmarshal(raw, &obj) != nil {
		return nil
	}
	obj.Kind, obj.APIVersion = "PartialObjectMetadata", "meta.k8s.io/v1"
	out, err := json.Marshal(obj)
	if err != nil {
		return nil
	}
	return out
}
