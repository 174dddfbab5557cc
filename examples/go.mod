module github.com/msgdelivery/delivery/examples

go 1.25.0

require github.com/msgdelivery/delivery v0.0.0

replace github.com/msgdelivery/delivery => ../
