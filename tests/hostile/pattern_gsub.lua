-- Catastrophic patterns inside gsub.
-- load: ok
-- call: steps|time
return function() return ("a"):rep(60):gsub(("a?"):rep(60) .. ("a"):rep(60) .. "b", "") end
