package sqlstore

var mysql = dialect{name: "mysql"}
