package file

import (
	"encoding/json"
	"os"
	"reflect"

	"kube-router/internal/podlink"
)

// insteadKey holds, in the entry of our own plugin, those of the plugins in whose place it stands: it does what they say, and they come
// back as they were when it goes.
const insteadKey = "instead"

// unfold puts the plugins back in whose place ours stands.
func unfold(chain []any) []any {
	var list []any
	for _, p := range chain {
		o, _ := p.(object)
		if before, ok := o[insteadKey].([]any); ok && isWait(p) {
			list = append(list, before...)
			continue
		}
		list = append(list, p)
	}
	return list
}

// fold puts our plugin in the place of the one that gives addresses, and of those that open host ports and limit bandwidth. What else
// the list has follows, and then ours once more: it must tell the daemon of what those have changed, such as an Ethernet address. A list
// in which ours can't do what the others do is an error.
func fold(chain []any, first object, socket string) ([]any, error) {
	instead, rest := []any{first}, []any{}
	capabilities := object{}
	for _, p := range chain {
		o, _ := p.(object)
		switch {
		case reflect.DeepEqual(o, first):
		case o["type"] == "portmap", o["type"] == "bandwidth":
			instead = append(instead, p)
			if c, ok := o["capabilities"].(object); ok {
				for name, on := range c {
					capabilities[name] = on
				}
			}
		default:
			rest = append(rest, p)
		}
	}
	var entries []json.RawMessage
	for _, p := range instead {
		text, err := json.Marshal(p)
		if err != nil {
			return nil, err
		}
		entries = append(entries, text)
	}
	if _, err := podlink.Parse(entries); err != nil {
		return nil, err
	}
	ours := object{"type": waitPlugin, "socket": socket, insteadKey: instead}
	if len(capabilities) > 0 {
		ours["capabilities"] = capabilities
	}
	if len(rest) == 1 { // ours alone
		rest = nil
	}
	return append([]any{ours}, rest...), nil
}

// Network tells the name of the network in a CNI file of ours and where its leases are (empty: where host-local has them without being told);
// false: there is none.
func Network(path string) (name, dataDir string, ok bool) {
	text, err := os.ReadFile(path)
	file := object{}
	if err != nil || json.Unmarshal(text, &file) != nil || file[noteKey] == nil {
		return "", "", false
	}
	chain, listed := file["plugins"].([]any)
	if !listed {
		chain = []any{file}
	}
	for _, p := range unfold(chain) {
		if i := ipam(p); i["type"] == "host-local" {
			dataDir, _ = i["dataDir"].(string)
		}
	}
	name, ok = file["name"].(string)
	return name, dataDir, ok
}
