// Package nft is the driver of our nftables table: it turns row.Nft into netlink messages and the table
// back into rows. It is the only code that knows how the kernel wants nftables told.
//
// The table is made with the first set or chain and deleted with the last, so that wanting nothing leaves
// nothing. A rule's body and what a set is go into the user data that the kernel keeps beside them; a dump
// reads that and decodes no expression. What in our table has no such data, or data that no longer means
// what the kernel was told, is somebody else's and comes from the dump as a row that nobody wants.
package nft
