module example.com/ours

go 1.21

require (
	golang.org/x/text v0.3.5
	github.com/gin-gonic/gin v1.7.0
	golang.org/x/net v0.0.0-20210226172049-e18ecbb05110 // indirect
	"example.com/local" v1.0.0
)

require github.com/dgrijalva/jwt-go v3.2.0+incompatible

exclude golang.org/x/text v0.3.4

replace github.com/dgrijalva/jwt-go => github.com/golang-jwt/jwt v3.2.1+incompatible

replace (
	example.com/local => ../local
	golang.org/x/text v0.3.1 => golang.org/x/text v0.3.2
)
