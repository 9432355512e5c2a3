-- A format of long strings.
-- load: ok
-- call: limit
return function() local s = ("x"):rep(60000) return ("%s%s%s%s"):format(s, s, s, s) end
