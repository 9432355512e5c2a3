-- Output without end.
-- load: ok
-- call: steps
return function() while true do print(("x"):rep(60000)) end end
