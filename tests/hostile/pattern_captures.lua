-- Nested captures to the depth limit.
-- load: ok
-- call: steps|policy
return function() while true do pcall(string.find, ("a"):rep(1000), ("(a"):rep(40)) end end
