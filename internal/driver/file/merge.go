package file

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"

	"kube-router/internal/row"
)

// noteKey is the top-level key of our note in the file.
const noteKey = "kube-router"

// waitPlugin is the type of our chained plugin, which returns when the pod's firewall stands.
const waitPlugin = "kube-router-cni"

// object is a JSON object whose unknown parts are kept.
type object = map[string]any

// note is what we leave in the file: the row, so that a later look knows what was ours in it.
type note struct {
	About  string   `json:"about"`
	Ranges []string `json:"ranges"`
	MTU    int      `json:"mtu"`
	Socket string   `json:"socket"`
	Own    bool     `json:"own,omitempty"`
}

const about = "kube-router keeps the pod ranges, the MTU and its own plugin in this file; the rest is yours"

// read finds our note in a file. The row is without contents when the file no longer says what the note does.
func (d *Driver) read(text []byte) (row.Conflist, bool) {
	path := d.path
	drifted := row.Conflist{Path: path}
	var file struct {
		Note *note `json:"kube-router"`
	}
	if json.Unmarshal(text, &file) != nil || file.Note == nil {
		return row.Conflist{}, false
	}
	c := row.Conflist{Path: path, MTU: file.Note.MTU, Socket: file.Note.Socket, Own: file.Note.Own}
	for _, s := range file.Note.Ranges {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return drifted, true
		}
		if p.Addr().Is4() {
			c.Ranges[0] = p
		} else {
			c.Ranges[1] = p
		}
	}
	if again, err := d.merge(c, text); err != nil || !bytes.Equal(again, text) {
		return drifted, true
	}
	return c, true
}

// merge gives the file's new text: the old one with our part in it, or a whole new one.
func (d *Driver) merge(c row.Conflist, text []byte) ([]byte, error) {
	file := object{}
	if len(bytes.TrimSpace(text)) == 0 {
		file = fresh(c)
	} else {
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.UseNumber()
		err := dec.Decode(&file)
		if _, end := dec.Token(); err == nil && end != io.EOF {
			err = errors.New("something follows the object")
		}
		if err != nil {
			return nil, fmt.Errorf("%s is not JSON, so it was left alone; fix or remove it: %w", c.Path, err)
		}
	}
	if err := edit(c, file); err != nil {
		return nil, fmt.Errorf("%s was left alone: %w", c.Path, err)
	}
	d.offer(file)
	n := note{About: about, Ranges: []string{}, MTU: c.MTU, Socket: c.Socket, Own: c.Own}
	for _, r := range ranges(c) {
		n.Ranges = append(n.Ranges, r.String())
	}
	file[noteKey] = n
	out, err := json.MarshalIndent(file, "", "  ")
	return append(out, '\n'), err
}

// fresh is the usual configuration: a bridge with addresses from host-local, host ports and bandwidth. The
// network's name is the one that kube-router's manifests have always used, because host-local keeps its
// leases by name.
func fresh(c row.Conflist) object {
	bridge := object{
		"type": "bridge", "bridge": row.BridgeName, "isDefaultGateway": true, "hairpinMode": true,
		"forceAddress": true, "ipam": object{"type": "host-local"},
	}
	if filepath.Ext(c.Path) != ".conflist" {
		bridge["cniVersion"], bridge["name"] = "1.0.0", "mynet"
		return bridge
	}
	return object{"cniVersion": "1.0.0", "name": "mynet", "plugins": []any{
		bridge,
		object{"type": "portmap", "snat": true, "capabilities": object{"portMappings": true}},
		object{"type": "bandwidth", "capabilities": object{"bandwidth": true}},
	}}
}

// edit writes our part into the file.
func edit(c row.Conflist, file object) error {
	chain, listed := file["plugins"].([]any)
	if !listed {
		chain = []any{file}
	}
	chain = unfold(chain)
	// An entry of our own plugin goes and comes as a whole: what somebody wrote into it gives no addresses.
	first := slices.IndexFunc(chain, func(p any) bool { return ipam(p)["type"] == "host-local" && !isWait(p) })
	if first < 0 {
		return errors.New("no plugin in it uses host-local for its addresses")
	}
	plugin := chain[first].(object)
	setRanges(ipam(plugin), ranges(c))
	if before, ok := file[noteKey].(object); ok && reflect.DeepEqual(before["mtu"], plugin["mtu"]) {
		delete(plugin, "mtu") // ours of before; a user's own stays
	}
	if c.MTU > 0 {
		plugin["mtu"] = c.MTU
	}
	if listed {
		chain = chainWait(chain, c.Socket, ipam(plugin)["dataDir"])
		file["plugins"] = chain
	}
	if !listed || !c.Own {
		return nil
	}
	all, err := fold(chain, plugin, c.Socket)
	file["plugins"] = all
	return err
}

// chainWait puts our plugin last in the chain, or takes it out.
func chainWait(chain []any, socket string, dataDir any) []any {
	chain = slices.DeleteFunc(chain, isWait)
	if socket == "" {
		return chain
	}
	ours := object{"type": waitPlugin, "socket": socket}
	if dataDir != nil {
		ours["dataDir"] = dataDir // where GC finds the leases
	}
	return append(chain, ours)
}

// isWait tells whether an entry of the chain is our own plugin.
func isWait(plugin any) bool {
	o, _ := plugin.(object)
	return o["type"] == waitPlugin
}

func ipam(plugin any) object {
	o, _ := plugin.(object)
	i, _ := o["ipam"].(object)
	return i
}

// setRanges makes host-local hand out addresses of these ranges, one of each. What a user said about the same
// subnet (rangeStart, gateway) stays; the old form with a single subnet is folded in.
func setRanges(ipam object, want []netip.Prefix) {
	known := map[string]object{}
	collect(ipam["ranges"], known)
	if s, ok := ipam["subnet"].(string); ok {
		known[s] = object{}
		for _, key := range []string{"subnet", "rangeStart", "rangeEnd", "gateway"} {
			if v, ok := ipam[key]; ok {
				known[s][key] = v
			}
			delete(ipam, key)
		}
	}
	sets := []any{}
	for _, p := range want {
		o := known[p.String()]
		if o == nil {
			o = object{"subnet": p.String()}
		}
		sets = append(sets, []any{o})
	}
	ipam["ranges"] = sets
}

// collect finds the ranges of the present configuration by subnet.
func collect(sets any, known map[string]object) {
	list, _ := sets.([]any)
	for _, set := range list {
		alternatives, _ := set.([]any)
		for _, r := range alternatives {
			o, _ := r.(object)
			if s, ok := o["subnet"].(string); ok {
				known[s] = o
			}
		}
	}
}

func ranges(c row.Conflist) []netip.Prefix {
	return slices.DeleteFunc(c.Ranges[:], func(p netip.Prefix) bool { return !p.IsValid() })
}
