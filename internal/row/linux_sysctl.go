package row

import "strings"

// Sysctl is a kernel setting below /proc/sys.
type Sysctl struct {
	Name  string // the path below /proc/sys: net/ipv4/ip_forward (a link's name may contain dots)
	Value string
	// OnlyFrom restricts the change: it is made only where the setting has this value. Any other value is
	// the operator's choice and stays.
	OnlyFrom string
	Optional bool // a kernel without the setting is no error
}

// Key is the path.
func (s Sysctl) Key() string { return s.Name }

// String prints the setting as sysctl(8) does; dots and slashes change places.
func (s Sysctl) String() string {
	swap := strings.NewReplacer("/", ".", ".", "/")
	text := swap.Replace(s.Name) + " = " + s.Value
	if s.OnlyFrom != "" {
		text += " (where it was " + s.OnlyFrom + ")"
	}
	return text
}

// Holds tells whether a value that was read satisfies the row.
func (s Sysctl) Holds(value string) bool {
	return value == s.Value || s.OnlyFrom != "" && value != s.OnlyFrom
}
