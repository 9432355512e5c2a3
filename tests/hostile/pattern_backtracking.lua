-- A pattern that backtracks without end.
-- load: ok
-- call: steps|time
return function() return ("a"):rep(30):find(("a*"):rep(20) .. "b") end
