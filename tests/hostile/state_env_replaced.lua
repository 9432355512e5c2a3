-- Another _ENV for the function that is kept.
-- load: policy
return function() _ENV = { n = 1 } return n end
