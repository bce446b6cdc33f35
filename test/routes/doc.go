// Package routes proves routing by packets: clusters of two subnets with the real binary on each node, their overlays, what happens when
// nodes join and die, when the daemon is killed, and when others meddle with its routes. Every case is judged by what a pod answered, by
// the source address that it saw, or by what the kernel's own tools print.
//
// "run" runs all of it: on this kernel (tag routes) what this kernel can, and in the guest kernel (tag guest) the ipip and fou tunnels.
package routes
