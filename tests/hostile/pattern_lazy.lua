-- The same with lazy repetitions.
-- load: ok
-- call: steps|time
return function() return ("a"):rep(200):find((".-"):rep(30) .. "b") end
