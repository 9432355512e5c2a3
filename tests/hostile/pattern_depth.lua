-- A pattern that recurs deeply in C.
-- load: ok
-- call: policy
return function() return ("x"):rep(1000):find(("x?"):rep(1000)) end
