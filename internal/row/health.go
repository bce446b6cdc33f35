package row

import "fmt"

// HealthPort is a port at which balancers ask whether this node has endpoints of a Service.
type HealthPort struct {
	Port    uint16 // spec.healthCheckNodePort
	Service KubeName
	Local   int // ready endpoints on this node
}

// Key is the port.
func (h HealthPort) Key() uint16 { return h.Port }

// String prints the port with its Service and count.
func (h HealthPort) String() string {
	return fmt.Sprintf("health port %d service %s local %d", h.Port, h.Service, h.Local)
}
